"""Where an emoji lies on a canvas: key points."""
