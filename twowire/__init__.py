"""The command line of twowire, and the caller it tests with. Stands above both sides."""
