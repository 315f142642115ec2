"""Models from the Hugging Face hub: their names, downloads that resume, and checked contents."""
