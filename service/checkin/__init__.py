"""The checkin room: a member's attendance record, made once however often it is sent."""
