"""Facts of the paper, arXiv 2403.12562: its architectures and its spaces."""
