"""The nginx gateway: the settings that its nginx.conf includes, and its process."""
