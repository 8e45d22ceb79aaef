"""The CloudFormation resource types that the templates use and MiniStack lacks or does only in part."""
