package replicate
