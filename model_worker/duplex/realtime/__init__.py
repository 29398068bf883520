"""OpenAI's two speech protocols, Realtime (turns) and Live (one stream), and the servers of others that speak them."""
