"""Locust file: people talk with characters, Rachel first. `locust -f loadtest/character.py`."""

from chatbot_ai.tools.loadtest.users import CharacterPerson

__all__ = ["CharacterPerson"]
