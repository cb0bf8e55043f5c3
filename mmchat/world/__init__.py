"""The closed world of the bundled model: its things, drawn scenes, spoken questions and dialogues."""
