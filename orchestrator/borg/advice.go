package borg

import "strings"

// advice tells what to do about what borg said, by its name for it.
func advice(id string) string {
	for part, text := range map[string]string{
		"LockTimeout":                  "somebody else uses the repository; if nobody does, break its lock by hand (borg break-lock)",
		"LockError":                    "look at the rights and the disk of the repository",
		"PassphraseWrong":              "look at the file with the passphrase",
		"NoPassphraseFailure":          "the repository is encrypted: give it a passphrase_file",
		missing:                        "mount its disk, or have it made once with init = true",
		"InvalidRepository":            "there is something else at this place: look at the address, and whether the disk is mounted",
		"ParentPathDoesNotExist":       "mount its disk, or make the directory above it",
		"InsufficientFreeSpaceError":   "make room on its disk, keep fewer archives, and compact",
		"CacheInitAbortedError":        "it is not encrypted and was never used from here: if that is meant, set encryption = \"none\"",
		"RepositoryAccessAborted":      "it has moved, or another one lies there: if that is meant, confirm it once by hand (borg list)",
		"EncryptionMethodMismatch":     "it was encrypted before and is not now: somebody may have replaced it",
		"RepositoryReplay":             "it is older than what was seen last: somebody may have put an old copy back",
		"RepositoryIDNotUnique":        "it is a copy of another repository: use one of the two",
		"ConnectionClosed":             "look at ssh: the host, its key in known_hosts, our key there, and borg on the other side",
		"ConnectionClosedWithHint":     "look at ssh: the host, its key in known_hosts, our key there, and borg on the other side",
		"IntegrityError":               "copy the repository, then try borg check --repair by hand",
		"Repository.CheckNeeded":       "copy the repository, then try borg check --repair by hand",
		"Repository.ObjectNotFound":    "copy the repository, then try borg check --repair by hand",
		"Archive.AlreadyExists":        "two backups began in the same second: run it again",
		"Repository.PathAlreadyExists": "there is something else at this place: look at the address",
	} {
		if id == part || strings.HasSuffix(id, "."+part) {
			return text
		}
	}
	return ""
}
