"""The SDK of Quietus for edge apps."""
