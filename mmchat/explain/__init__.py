"""Where an answer looked: `occlusion` measures what hiding a part of a picture or clip changes, `drawing` shows it."""
