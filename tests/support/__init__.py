"""What several test files share: clocks, a scripted model, a faulty server, a running engine."""
