"""What all pages are made of: templates, the stylesheet, charts. Pure Python; nothing is loaded."""
