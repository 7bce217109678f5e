"""What looks odd about check-ins: flags that a branch reviews. They block nothing and change no figure."""
