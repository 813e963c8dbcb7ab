// Package docs holds the documents against the program: the commands of the README are run literally, and names, links,
// targets, locks and numbers in the pages are compared with what is there.
package docs
