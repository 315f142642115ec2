"""Safetensors files: written slice by slice, checked, and read as headers alone, without MLX."""
