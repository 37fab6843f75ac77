"""The demo: who is employed, American Community Survey, Massachusetts, 2015 to 2018."""
