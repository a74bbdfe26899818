package main

// images are those that labs use, with their entry points. The files of both
// are in labs/containerlab/images, which builds them from Debian packages; here
// a node sees the files of this machine, which has the same packages.
var images = map[string][]string{
	"mbbgp-lab":       {"/usr/bin/mbbgp"},
	"mbbgp-lab-tools": {"/usr/local/bin/start"},
}

// imageFiles are the files of images that Debian does not have: path in a node,
// path below labs/containerlab. The program is one of them, too.
var imageFiles = map[string]string{
	"/usr/local/bin/start": "images/start",
}
