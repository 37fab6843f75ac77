"""Adult: income above 50,000 dollars, by net, forest, XGBoost and their mean."""
