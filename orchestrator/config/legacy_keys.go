package config

// LegacyKey is a key of the predecessor's files and what becomes of it.
type LegacyKey struct {
	File  string // of its files: main, machine, mail, interface, restore
	Name  string
	Place string // key of ours; empty: dropped
	Why   string // it is dropped, or how its value changes
}

// The predecessor's files, as they are called in LegacyKey.
const (
	legacyMain      = "main"      // AmutaQ!.conf and AmutaQ!.conf.N
	legacyMachine   = "machine"   // VM.conf
	legacyMail      = "mail"      // pzymail.conf
	legacyInterface = "interface" // cif.conf
	legacyRestore   = "restore"   // restore.conf
)

// LegacyKeys lists every key of the predecessor. docs/tresor-config.md shows it.
func LegacyKeys() []LegacyKey {
	return []LegacyKey{
		{legacyMain, "VMUSER", "server.user", ""},
		{legacyMain, "VMPASSWORD", "server.password_file", "into a file of its own, mode 0600"},
		{legacyMain, "VMHOST", "server.host", "also the server's name"},
		{legacyMain, "VMLIST", "server.vms", ""},
		{legacyMain, "BACKUPNETWORK_IP", "server.backup_ip", ""},
		{legacyMain, "BACKUPTOOL", "server.driver", "LAMW is lamw, anything else native"},
		{legacyMain, "DDDEVICELIST", "volume", "one table for each, with what fstab and crypttab say about it"},
		{legacyMain, "PARANOIAMODE", "backup.direct_runs_before_async", "server.direct_runs_before_async where servers differ"},
		{legacyMain, "KEEPVERSIONS", "retention.buffer_versions", "server.retention where servers differ"},
		{legacyMain, "KEEPVERSIONSONFINALTARGET", "retention.volume_versions", "server.retention where servers differ"},
		{legacyMain, "FILLMAX", "retention.fill_max_percent", ""},
		{legacyMain, "HOUSEKEEPERAGE", "retention.unverified_max_age_days", "without the +; -N and N mean something else and are refused"},
		{legacyMain, "LAZYBONEFLAG", "backup.pause_after_round", ""},
		{legacyMain, "ALLOWCRCINBACKGROUND", "verify.target_async", ""},
		{legacyMain, "ALLOWCRCSOURCEINBACKGROUND", "verify.source_parallel", ""},
		{legacyMain, "FILESYSTEM", "format.filesystem", ""},
		{legacyMain, "DDUMBSIZE", "format.volume_percent", ""},
		{legacyMain, "DDUMBVOL", "paths.volume_mount", ""},
		{legacyMain, "ASYNCTARGET", "paths.volume_subdir", "the folder below DDUMBVOL"},
		{legacyMain, "VMBACKUPTARGET", "paths.buffer", ""},
		{legacyMain, "SPOOLDIR", "paths.spool", ""},
		{legacyMain, "SIGNAL", "paths.signals", ""},
		{legacyMain, "MINBATTERY", "ups.min_battery_minutes", ""},
		{legacyMain, "BUFDISKMAX4FOREAUTODELTE", "buffer.emergency_percent", "only verified copies are released"},
		{legacyMain, "CPUPOOL4DDUMB", "volume.writer_pool", "the predecessor never read it; 0 is one thread for each processor"},
		{legacyMain, "RSYNC_LOG", "", "each run has a log of its own in log.dir"},
		{legacyMain, "ASYNC_LOG", "", "each run has a log of its own in log.dir"},
		{legacyMain, "RSYNCFLAG", "", "there is one way to copy"},
		{legacyMain, "TARGETHD", "", "obsolete"},
		{legacyMain, "BAZAARVCB", "", "the tool bazaarvcb is not used"},
		{legacyMain, "VERSION", "", "mails name the version that runs"},
		{legacyMain, "CLOUDDISK", "", "the predecessor never read it"},
		{legacyMain, "SPOOLD4CLOUD", "", "the predecessor never read it"},
		{legacyMachine, "DONTRUNFROM", "server.vm.NAME.blocked_hours", "with DONTRUNTILL"},
		{legacyMachine, "DONTRUNTILL", "server.vm.NAME.blocked_hours", "with DONTRUNFROM; equal hours block that one hour"},
		{legacyMachine, "BAZAAREXTRAPARMS", "", "the tool bazaarvcb is not used"},
		{legacyMachine, "ALLOWREBOOT", "", "only the tool bazaarvcb used it"},
		{legacyMachine, "USEDDISKSPACE", "", "is measured again"},
		{legacyMail, "PZYDESCRIPTION", "mail.description", ""},
		{legacyMail, "PZYHOST", "mail.host", ""},
		{legacyMail, "PZYPORT", "mail.port", ""},
		{legacyMail, "PZYUSER", "mail.user", "not without PZYPASS"},
		{legacyMail, "PZYPASS", "mail.password_file", "into a file of its own, mode 0600"},
		{legacyMail, "PZYMODE", "mail.security", "unless SWAKSMODE says it"},
		{legacyMail, "SWAKSMODE", "mail.security", "tlso and tlsos: starttls-opportunistic, tls: starttls, tlsc: tls"},
		{legacyMail, "PZYTO", "mail.to", ""},
		{legacyMail, "PZYFROM", "mail.from", ""},
		{legacyInterface, "CIFACTIVE", "mail.interface_up_on_demand", "empty where it is 0"},
		{legacyInterface, "CIFINTERNALNET", "mail.interface_up_on_demand", ""},
		{legacyRestore, "MYTARGETSERVER", "restore.server", ""},
		{legacyRestore, "MYRESTOREMODE", "restore.mode", "0 is link, 1 is copy"},
		{legacyRestore, "TARGET_DATASTORE", "restore.datastores", ""},
		{legacyRestore, "TARGET_DISK_FORMAT", "restore.disk_format", "1 zeroedthick, 2 2gbsparse, 3 thin, 4 eagerzeroedthick"},
		{legacyRestore, "MYEDITOR", "", "nothing is edited"},
		{legacyRestore, "MY_NFS_IP", "restore.nfs_ip", ""},
	}
}

// legacyKey finds a key of a kind of files.
func legacyKey(file, name string) (LegacyKey, bool) {
	for _, k := range LegacyKeys() {
		if k.File == file && k.Name == name {
			return k, true
		}
	}
	return LegacyKey{}, false
}
