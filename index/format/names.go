package format

// Magic values: the first eight bytes of the three kinds of binary file.
const (
	MagicIndex  = "DDUMBFSI" // index file
	MagicBlocks = "DDUMBFSB" // block file
	MagicFile   = "DDUMBFSF" // underlying file (recipe)

	// MagicSize is the length in bytes of each of them.
	MagicSize = 8
)

// Names of the files in the parent directory of a volume (format page, section 1).
const (
	ConfigName = "ddfs.cfg"
	// SnapshotName is the last snapshot of the used-block bitmap; the original
	// rotates it through SnapshotRotation0 and SnapshotRotation1.
	SnapshotName      = "ddfsusedblocks"
	SnapshotRotation0 = SnapshotName + ".0"
	SnapshotRotation1 = SnapshotName + ".1"
	// DirtyName exists while the volume is mounted, and after a mount that was
	// not ended cleanly.
	DirtyName = ".autofsck"
	// CleanName beside DirtyName says that all was synced: no check is needed.
	CleanName = ".autofsck.clean"
	// RebuildName says that a rebuild did not finish: only a rebuild may go on.
	RebuildName = ".rebuildfsck"
	// PackName, ResizeName and ReinitName hold the plan of a job that was begun and did not finish: only that job may go on. They
	// are ours; RebuildName beside them keeps the original's tools off.
	PackName   = ".ddfspack"
	ResizeName = ".ddfsresize"
	ReinitName = ".ddfsreinit"
	// MigrateName is the same in the volume that a migration fills.
	MigrateName = ".ddfsmigrate"
	// QuarantineName is the directory beside the root where a repair moves files whose headers cannot be read. What their entries name
	// counts as in use.
	QuarantineName = "ddfsquarantine"
	// ScrubName holds when which part of the block file was last proved, and the blocks that were found bad. It is ours, it is text, and
	// without it a scrub begins anew.
	ScrubName = ".ddfsscrub"
	// SocketName is a unix socket that the original leaves behind.
	SocketName = "socket"
	// RootName is the root of the user tree. The configuration names it too,
	// but that line is written and never read.
	RootName = "ddfsroot"
	// SpecialName is the special directory in the root.
	SpecialName = ".ddumbfs"
	// DefaultIndexName and DefaultBlocksName are the names that a new volume
	// gives its index and block file.
	DefaultIndexName  = "ddfsidx"
	DefaultBlocksName = "ddfsblocks"
)

// Names in the special directory (format page, section 8).
const (
	StatsName     = "stats"
	Stats0Name    = "stats0"
	ReclaimName   = "reclaim"
	TestName      = "test"
	LogName       = "ddumbfs.log"
	CorruptedName = "corrupted.txt"
)

// Sizes in bytes and limits that hold for every volume.
const (
	// FileHeaderSize is the length of the header of an underlying file.
	FileHeaderSize = 16
	// IndexPage is the unit in which the index file is laid out.
	IndexPage = 4096
	// IndexAlign is the alignment of bitmap and table in new index files.
	IndexAlign = 64 << 10

	// MinBlockSize and MaxBlockSize bound the block size, a power of two. The
	// original opens volumes from 4 KiB up.
	MinBlockSize     = 512
	MaxBlockSize     = 2 << 20
	DefaultBlockSize = 128 << 10

	// MinBlockCount leaves room for the two reserved blocks.
	MinBlockCount = 2
	// MaxBlockCount is 128 PiB of 128 KiB blocks. It is far beyond what an
	// index in memory can serve, and small enough that no product of counts
	// and sizes in this package overflows 63 bits or leaves the integers that
	// a float64 holds exactly.
	MaxBlockCount = 1 << 40
	// MaxAddrSize is the widest address in bytes that is accepted.
	MaxAddrSize = 8

	// MinOverflow and MaxOverflow bound the ratio of table slots to blocks.
	MinOverflow     = 1.1
	MaxOverflow     = 10
	DefaultOverflow = 1.3

	// DefaultAutoBufferFlush and DefaultAutoSync are seconds, used where an old
	// configuration lacks the keys.
	DefaultAutoBufferFlush = 60
	DefaultAutoSync        = 120
)

// spareSlots times the overflow is what a table has beyond block count x
// overflow: they take the end of the last run, as the table does not wrap.
const spareSlots = 512
