"""Who may use the API: keys of programs, people, their roles, and the record of what they did."""
