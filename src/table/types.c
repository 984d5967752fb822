/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What people call the types of partitions. Sources: UEFI 2.10 §5.3.3, the Discoverable Partitions
 * Specification, and util-linux's lists for the older numbers. */
#include "table/table.h"

#define ESP_GUID "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"

struct type_name {
	const char *type, *name;
};

static const struct type_name gpt_types[] = {
	{ ESP_GUID, "EFI system" },
	{ "21686148-6449-6e6f-744e-656564454649", "BIOS boot" },
	{ "024dee41-33e7-11d3-9d69-0008c781f39f", "MBR partition scheme" },
	{ "e3c9e316-0b5c-4db8-817d-f92df00215ae", "Microsoft reserved" },
	{ "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "Microsoft basic data" },
	{ "de94bba4-06d1-4d40-a16a-bfd50179d6ac", "Windows recovery" },
	{ "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3", "Microsoft LDM metadata" },
	{ "af9b60a0-1431-4f62-bc68-3311714a69ad", "Microsoft LDM data" },
	{ "e75caf8f-f680-4cee-afa3-b001e56efc2d", "Microsoft Storage Spaces" },
	{ "0fc63daf-8483-4772-8e79-3d69d8477de4", "Linux file system" },
	{ "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "Linux swap" },
	{ "e6d6d379-f507-44c2-a23c-238f2a3df928", "Linux LVM" },
	{ "a19d880f-05fc-4d3b-a006-743f0f84911e", "Linux RAID" },
	{ "ca7d7ccb-63ed-4c53-861c-1742536059cc", "Linux LUKS" },
	{ "933ac7e1-2eb4-4f13-b844-0e14e2aef915", "Linux home" },
	{ "bc13c2ff-59e6-4262-a352-b275fd6f7172", "Linux extended boot" },
	{ "4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "Linux root (x86-64)" },
	{ "44479540-f297-41b2-9af7-d131d5f0458a", "Linux root (x86)" },
	{ "b921b045-1df0-41c3-af44-4c6f280d3fae", "Linux root (ARM 64)" },
	{ "8da63339-0007-60c0-c436-083ac8230908", "Linux reserved" },
	{ "48465300-0000-11aa-aa11-00306543ecac", "Apple HFS+" },
	{ "7c3457ef-0000-11aa-aa11-00306543ecac", "Apple APFS" },
	{ "426f6f74-0000-11aa-aa11-00306543ecac", "Apple boot" },
	{ "516e7cb4-6ecf-11d6-8ff8-00022d09712b", "FreeBSD data" },
	{ "83bd6b9d-7f41-11dc-be0b-001560b84f0f", "FreeBSD boot" },
	{ "516e7cb6-6ecf-11d6-8ff8-00022d09712b", "FreeBSD UFS" },
	{ "516e7cba-6ecf-11d6-8ff8-00022d09712b", "FreeBSD ZFS" },
	{ "6a898cc3-1dd2-11b2-99a6-080020736631", "ZFS" },
	{ "fe3a2a5d-4f32-41a7-b725-accc3285a309", "ChromeOS kernel" },
	{ "3cb8e202-3b7e-47dd-8a3c-7ff2a13cfcec", "ChromeOS root" },
};

static const struct type_name dos_types[] = {
	{ "0x00", "empty" },
	{ "0x01", "FAT12" },
	{ "0x04", "FAT16 up to 32 MiB" },
	{ "0x05", "extended" },
	{ "0x06", "FAT16" },
	{ "0x07", "NTFS, exFAT or HPFS" },
	{ "0x0b", "FAT32" },
	{ "0x0c", "FAT32 (LBA)" },
	{ "0x0e", "FAT16 (LBA)" },
	{ "0x0f", "extended (LBA)" },
	{ "0x11", "hidden FAT12" },
	{ "0x16", "hidden FAT16" },
	{ "0x17", "hidden NTFS or HPFS" },
	{ "0x1b", "hidden FAT32" },
	{ "0x1c", "hidden FAT32 (LBA)" },
	{ "0x27", "hidden NTFS (Windows recovery)" },
	{ "0x42", "Windows dynamic disk" },
	{ "0x82", "Linux swap" },
	{ "0x83", "Linux" },
	{ "0x85", "Linux extended" },
	{ "0x8e", "Linux LVM" },
	{ "0xa5", "FreeBSD" },
	{ "0xa6", "OpenBSD" },
	{ "0xa9", "NetBSD" },
	{ "0xaf", "HFS or HFS+" },
	{ "0xbf", "Solaris" },
	{ "0xcd", "ISO 9660" },
	{ "0xee", "GPT" },
	{ "0xef", "EFI system" },
	{ "0xfd", "Linux RAID" },
};

static const char *look_up(const struct type_name *types, size_t n, const char *type)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(types[i].type, type) == 0)
			return types[i].name;
	return NULL;
}

const char *table_type_name(enum table_type type)
{
	static const char *const names[] = {
		[TABLE_NONE] = "none",
		[TABLE_GPT] = "gpt",
		[TABLE_DOS] = "dos",
		[TABLE_APM] = "apm",
	};

	return names[type];
}

const char *table_entry_type_name(const struct table *t, const struct table_entry *e)
{
	switch (t->type) {
	case TABLE_GPT:
		return look_up(gpt_types, ARRAY_LEN(gpt_types), e->type);
	case TABLE_DOS:
		return look_up(dos_types, ARRAY_LEN(dos_types), e->type);
	case TABLE_APM: /* its types are names */
	case TABLE_NONE:
		break;
	}
	return NULL;
}

bool table_has_esp(const struct table *t, const struct table_entry **ret)
{
	for (; t; t = t->also)
		for (size_t i = 0; i < t->n; i++) {
			const struct table_entry *e = &t->entries[i];

			if (strcmp(e->type, t->type == TABLE_GPT ? ESP_GUID : "0xef") != 0)
				continue;
			if (ret)
				*ret = e;
			return true;
		}
	return false;
}
