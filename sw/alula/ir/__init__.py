"""What a model is, between the frontend that reads it and the compiler that places it."""
