"""What a decoder invents: records of nobody, and what may come of somebody's."""
