"""Videos with captions: manifests, the shapes corpus, and the decoded-frame cache."""
