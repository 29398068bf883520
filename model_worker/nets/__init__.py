"""Parts of models, in torch: what several calls share on one device."""
