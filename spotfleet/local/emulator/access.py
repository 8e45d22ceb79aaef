"""The key of this start, which the credentials and logins that the emulator gives out are made of."""

key = ""
