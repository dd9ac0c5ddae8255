"""May a version serve? It is measured beside the champion, and judged by the experiment's rules."""
