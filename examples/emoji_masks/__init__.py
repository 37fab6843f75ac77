"""Which pixels are an emoji's: segmentation."""
