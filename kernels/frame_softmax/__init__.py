"""Frame similarities weighted by a softmax over themselves: TS2-Net's score."""
