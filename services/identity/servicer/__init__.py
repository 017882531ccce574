"""gRPC of identity, one file a service of the contract: proto in, use case, proto out."""
