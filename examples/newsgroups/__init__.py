"""Twenty newsgroups told apart by ULMFiT."""
