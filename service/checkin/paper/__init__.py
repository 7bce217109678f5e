"""Attendance on paper (纸质签到): signed lists, typed into a table, entered by the rule of every check-in."""
