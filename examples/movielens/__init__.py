"""What films people will like: 100,004 ratings of MovieLens."""
