"""The paper's accuracies (tables 4 and 6), by name of the arm that repeats the condition."""

# StoryCloze T, S, T→S, S→T, then Topic-StoryCloze
CHOICES = {
    "interleaved": (0.794, 0.610, 0.595, 0.646, 0.980, 0.829, 0.727, 0.886),
    "expressive": (0.789, 0.569, 0.546, 0.588, 0.979, 0.754, 0.616, 0.732),
    "no_interleaving": (0.782, 0.601, 0.542, 0.564, 0.977, 0.740, 0.575, 0.719),
    "pairs": (0.763, 0.546, 0.539, 0.540, 0.973, 0.749, 0.635, 0.718),
    "speech_only": (0.537, 0.548, 0.526, 0.493, 0.548, 0.729, 0.522, 0.494),
    "text_only": (0.790, 0.502, 0.473, 0.521, 0.982, 0.517, 0.475, 0.517),
}
