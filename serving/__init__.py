"""Bundle to running service: model repository, server, gallery and client."""
