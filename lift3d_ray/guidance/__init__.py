"""What pulls the field: score distillation, the reference picture, and regularisers, as functions over values."""
