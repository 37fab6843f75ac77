"""Streamlit pages over the services; they see the world through gRPC alone."""
