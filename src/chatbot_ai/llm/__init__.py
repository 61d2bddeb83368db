"""Models: the local engine and OpenAI-compatible servers."""
