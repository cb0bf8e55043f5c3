"""What people give: messages, pictures and clips, checked at the door."""
