// Package workload owns what ddbench has its contenders do, and the data it is done with. Its promises: data is as the engine page wants it (random, larger
// than four times the last-level cache unless memory or an option forbids it, no zero blocks, no block twice), all of it lies in memory that was
// touched before, only the work itself is timed, and what is read is compared with what was written once before it is timed.
//
// Names of series are stable, since results of different revisions are compared by them. Requests are of 1 MiB unless said otherwise; B is the block size.
//
//	hash/B                 bytes per second of one core that goes through the data for Sizes.Hash (60 ms, some hundred MB), so that a block is hashed when it
//	                       comes from memory or the last-level cache, not from the core's own; the contender is the hash: "BLAKE3", "SHA1", "TIGER" (the faster of one block at a time and two)
//	write-unique/B/1       new data into a new file, with fsync at the end; /128k/4: four writers to four files
//	write-known/B/1        data that the volume holds, over the same data; /128k/4: four writers to four files
//	write-shuffled/128k/8  known data into one file, out of order, by eight writers with a descriptor each
//	read-cold/B/1          after dropped caches and a new mount, so that every block is proved
//	read-warm/128k/1       through the kernel's cache, second pass; null: what the kernel's cache of any FUSE file system allows
//	read-direct/B/1        with O_DIRECT, the block file in the page cache, blocks proved before
//	vm-first/128k/1        a file system image that the volume has not seen, with fsync; bytes are the image's, holes included
//	vm-next/128k/1         its successor after changes
//	rand-overwrite/4k/1    one thread overwrites 4 KiB at random in a file of 1 GiB (fio, if there), 16 384 times (of a shorter file: a sixteenth of its bytes), then fsync and close
//	                       (fio: fsync); operations by the time of all that. The file is read before, in each round, so that it is in the page cache of the disk (ours: the
//	                       block file, read through the mount). Contender "plain-loop": pread of a 128 KiB block, hash, pwrite of the block, pwrite of the
//	                       entry, in plain files, with the same beginning and end. (Revisions from fb60ead to 2cd9758: 65 536 times or three seconds, whichever ended first,
//	                       and the file in the page cache in the first round only. Up to 5193f2c there was rand-write/4k/1: 1.2 s, what was in memory then was not counted.)
//	rand-read/4k/1         the same file read with O_DIRECT for 0.6 s, and read before as well: raw goes to the disk, ours to the page cache of its block file, so neither is a
//	                       ceiling of the other
//	small-create, small-list, small-stat, small-read, small-delete
//	                       files of up to 4 KiB (10 000, or --files) in directories of 1 000, operations per second; names and attributes are dropped from the kernel's
//	                       caches before list, before stat and before delete, names, attributes and content before read
//	check/128k             fsck -c, seconds; check-hashes/128k: fsck -C after dropped caches, stored bytes per second
//	                       (raw: read-cold, at the same time of the round)
//	scrub/128k             scrub --reset of a volume at rest after dropped caches, stored bytes per second (raw: as before)
//	reclaim/128k           of a mounted volume, after the removal of a file, seconds
//	mount-empty/128k, mount-full/128k
//	                       from the start of the program to the first answer, after dropped caches, seconds; empty: as mkfs has made it; full: with the known data and the
//	                       file for random requests, by default some 2 GB, which is a tenth to a sixth of its blocks (bench/scale mounts one that is 90 % full)
//	ingest-known/128k/offline, ingest-known/128k/mounted
//	                       `ddumbfs cp` of a file that the volume holds, into it at rest, and while it is mounted (over the control socket)
//	hash-cores/128k        bytes per second of all cores that hash the data of a file in memory, once and at the same time, and do nothing else; by the hash of the volume
//	hash-mapped/128k       the same over a file in the page cache, mapped piece by piece as `ddumbfs cp` maps it
//	memory/1T              bytes: the largest resident memory of the daemon of a volume of 1 TiB in blocks of 128 KiB while it is written, read and
//	                       overwritten at random; memory-index/1T: the size of its index, which is part of it
//	archive-create, archive-next, archive-verify, archive-extract
//	                       image and successor as in vm-..., stored, proved and restored by programs that store whole files: "borg", "restic", and
//	                       "ours-cp", our volume without a mount. Bytes are the image's; of verify those of both
//
// Contenders of the others are "raw", "null", "loopback", "ours-HASH" and "original-HASH" (package contender).
package workload
