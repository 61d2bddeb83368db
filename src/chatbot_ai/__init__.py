"""ChatBot AI: a self-hosted chatbot platform with two assistants, office and character."""

__version__ = "2.0.0.dev0"
