"""The commands, one file each: a function main(arguments) -> exit status."""
