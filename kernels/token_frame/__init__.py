"""Every word against every frame, pooled by softmaxes: Mug-STAN's score."""
