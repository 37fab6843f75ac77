"""Have the inputs moved: how far, and how sure is that, however often one looks?"""
