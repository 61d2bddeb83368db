"""The nginx gateway: its configuration, rendered from one template, and its process."""
