// Package socket carries requests to the process that serves a mounted volume, and their answers back: a unix socket beside no path of the
// volume, found by the device and inode of its parent directory.
//
// It owns the place of the socket, who may use it, the form of the messages, and the life of connections. What can be asked for is a
// table of named operations that whoever serves the volume hands in.
//
// One connection is one request. Each message is a line of JSON:
//
//	→ {"op":"scrub","args":{"max_rate":1000000}}
//	→ an empty line, where the arguments announce it            what was sent along is complete, and was not cut by my end
//	← {"progress":{...}}                                       any number of them
//	← {"alive":true}                                           so often that silence means a dead peer
//	← {"result":{...}}  or  {"error":{"text":"...","class":"busy"}}, or a result as far as there is one and then the error
//
// A request may bring one open file (SCM_RIGHTS); whatever kind it is, nobody waits for its end.
//
// What it promises:
//
//   - Only the owner of the serving process and root are answered: the directory has mode 0700, the socket 0600, and the kernel is asked who
//     is at the other end.
//   - A client that goes away, or sends anything else after its request, ends the operation through its context.
//   - Every read and write has a deadline, lines and the number of connections are bounded; nothing a client sends can do more than
//     occupy its own connection.
//   - Close ends all operations and returns when none is running any more.
package socket
