"""The program behind `make bench`: the service beside the article's application and other frameworks."""
