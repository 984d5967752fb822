/* SPDX-License-Identifier: GPL-3.0-or-later */
/* exFAT allocation maps from the allocation bitmap, found through the root directory. Spec:
 * Microsoft exFAT file system specification, revision 1.00. */
#include <stdlib.h>
#include <string.h>

#include "fs/map_bits.h"

#define BOOT_SECTORS  12
#define DIRECTORY_MAX (256 * MIB) /* §7.4.9: no directory is longer */
#define UPCASE_MAX    (128 * KIB) /* a unit for each of 65536 characters */
#define STEP          ((size_t)MIB)
#define FIRST_CLUSTER 2
#define CHAIN_END     0xffffffff
#define CLUSTERS_MAX  0xfffffff5

enum { ENTRY_END = 0x00, ENTRY_BITMAP = 0x81, ENTRY_UPCASE = 0x82, ENTRY_LABEL = 0x83 };
enum { FLAG_SECOND_FAT = 1, FLAG_DIRTY = 2 };

/* What a directory entry says of a bitmap or of the up-case table. */
struct area {
	bool found;
	uint32_t first_cluster;
	uint64_t size;
};

struct exfat {
	struct medium *m;
	uint32_t sector_size, cluster_size, n_clusters, root_cluster, serial;
	uint64_t fat_offset, fat_size; /* of the active FAT */
	uint64_t heap_offset, size;
	unsigned n_fats;
	uint16_t flags;
	bool backup_differs;
	struct area bitmaps[2], upcase;
	uint8_t label[22];
	size_t label_len;
	uint8_t *window; /* a part of the FAT */
	uint64_t window_at;
	size_t window_len;
};

static bool is_fatal(int r)
{
	return r == -ENOMEM || r == -ECANCELED;
}

static uint64_t cluster_offset(const struct exfat *x, uint64_t cluster)
{
	return x->heap_offset + (cluster - FIRST_CLUSTER) * x->cluster_size;
}

static bool is_cluster(const struct exfat *x, uint32_t cluster)
{
	return cluster >= FIRST_CLUSTER && cluster - FIRST_CLUSTER < x->n_clusters;
}

static int not_exfat(const struct exfat *x, struct ism_error *err, const char *what)
{
	return ism_error_set(err, -EBADMSG, x->m->name, 0, "the exFAT boot sector is not valid: %s",
	                     what);
}

/* §3.1; lengths in sectors become bytes. */
static int take_boot_sector(struct exfat *x, const uint8_t *b, struct ism_error *err)
{
	uint64_t sectors = le64_at(b + 72), fat = le32_at(b + 80), fat_len = le32_at(b + 84);
	uint64_t heap = le32_at(b + 88), heap_sectors;

	if (memcmp(b + 3, "EXFAT   ", 8) != 0 || b[510] != 0x55 || b[511] != 0xaa ||
	    !bytes_are_zero(b + 11, 53))
		return not_exfat(x, err, "no signature");
	if (b[108] < 9 || b[108] > 12 || b[109] > 25 - b[108])
		return not_exfat(x, err, "sector or cluster size");
	if (b[105] != 1)
		return ism_error_set(err, -EOPNOTSUPP, x->m->name, ISM_NO_OFFSET,
		                     "exFAT revision %u is not known", b[105]);
	x->n_fats = b[110];
	x->flags = le16_at(b + 106);
	x->n_clusters = le32_at(b + 92);
	x->root_cluster = le32_at(b + 96);
	x->serial = le32_at(b + 100);
	x->sector_size = 1U << b[108];
	x->cluster_size = x->sector_size << b[109];
	heap_sectors = (uint64_t)x->n_clusters << b[109];
	if (x->n_fats < 1 || x->n_fats > 2 || fat < 2 * BOOT_SECTORS || heap < fat ||
	    fat_len * x->n_fats > heap - fat || sectors > (UINT64_MAX >> b[108]) ||
	    heap > sectors || heap_sectors > sectors - heap)
		return not_exfat(x, err, "its areas do not fit in its size");
	if (x->n_clusters > CLUSTERS_MAX || !is_cluster(x, x->root_cluster) ||
	    fat_len << b[108] < 4ULL * (x->n_clusters + 2ULL))
		return not_exfat(x, err, "count of clusters");
	if ((x->flags & FLAG_SECOND_FAT) && x->n_fats == 1)
		return not_exfat(x, err, "its second FAT is active, and there is none");
	x->fat_size = 4ULL * (x->n_clusters + 2ULL);
	x->fat_offset = (fat + (x->flags & FLAG_SECOND_FAT ? fat_len : 0)) << b[108];
	x->heap_offset = heap << b[108];
	x->size = sectors << b[108];
	return 0;
}

/* §3.4: over the first eleven sectors, without the fields that change while it is mounted. */
static bool checksum_fits(const uint8_t *region, uint32_t sector)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < 11 * sector; i++)
		if (i != 106 && i != 107 && i != 112)
			sum = (sum << 31 | sum >> 1) + region[i];
	for (uint32_t i = 0; i < sector; i += 4)
		if (le32_at(region + 11 * sector + i) != sum)
			return false;
	return true;
}

static int open_volume(struct exfat *x, struct ism_error *err)
{
	_free_ uint8_t *region = malloc((size_t)BOOT_SECTORS * 4096);
	size_t len;
	int r;

	if (!region)
		return ism_error_oom(err);
	r = medium_read_all(x->m, region, 512, 0, err);
	if (r == 0)
		r = take_boot_sector(x, region, err);
	if (r < 0)
		return r;
	len = (size_t)BOOT_SECTORS * x->sector_size;
	r = medium_read_all(x->m, region, len, 0, err);
	if (r < 0)
		return ism_error_prefix(err, "cannot read the exFAT boot region");
	if (!checksum_fits(region, x->sector_size))
		return ism_error_set(err, -EBADMSG, x->m->name, 0,
		                     "the checksum of the exFAT boot region does not fit");
	r = medium_read_all(x->m, region, len, len, NULL);
	if (is_fatal(r))
		return r == -ENOMEM ? ism_error_oom(err) : ism_error_canceled(err);
	x->backup_differs = r < 0 || !checksum_fits(region, x->sector_size);
	return 0;
}

/* The cluster behind @cluster in its chain. Return: 0, or why the FAT could not be read. */
static int next_cluster(struct exfat *x, uint32_t cluster, uint32_t *ret)
{
	uint64_t at = 4ULL * cluster;

	if (!x->window) {
		x->window = malloc(STEP);
		if (!x->window)
			return -ENOMEM;
	}
	if (at < x->window_at || at - x->window_at >= x->window_len) {
		uint64_t start = round_down_u64(at, STEP);
		size_t len = (size_t)MIN(x->fat_size - start, (uint64_t)STEP);
		int r;

		x->window_len = 0;
		r = medium_read_all(x->m, x->window, len, x->fat_offset + start, NULL);
		if (r < 0)
			return r;
		x->window_at = start;
		x->window_len = len;
	}
	*ret = le32_at(x->window + (at - x->window_at));
	return 0;
}

/* Called for each cluster of a chain in order. Return: 1 = enough, 0 = go on, else failed. */
typedef int (*cluster_fn)(struct exfat *x, uint32_t cluster, void *arg);

/* Goes along a chain of at most @max clusters: a chain that is longer, leaves the volume or goes in
 * a circle is -EBADMSG. */
static int walk_chain(struct exfat *x, uint32_t cluster, uint64_t max, cluster_fn fn, void *arg)
{
	for (uint64_t n = 0; cluster != CHAIN_END; n++) {
		int r;

		if (n >= max || !is_cluster(x, cluster))
			return -EBADMSG;
		r = fn(x, cluster, arg);
		if (r)
			return MIN(r, 0);
		r = next_cluster(x, cluster, &cluster);
		if (r < 0)
			return r;
	}
	return 0;
}

static void take_area(struct area *area, const uint8_t *entry)
{
	*area = (struct area){ true, le32_at(entry + 20), le64_at(entry + 24) };
}

/* Return: 1 = the directory ends here, 0. Two entries for one thing are damage. */
static int take_entry(struct exfat *x, const uint8_t *e)
{
	struct area *area = e[0] == ENTRY_UPCASE ? &x->upcase : &x->bitmaps[e[1] & 1];

	if (e[0] == ENTRY_END)
		return 1;
	if (e[0] == ENTRY_LABEL && e[1] <= 11) {
		x->label_len = e[1];
		memcpy(x->label, e + 2, sizeof(x->label));
	}
	if (e[0] != ENTRY_BITMAP && e[0] != ENTRY_UPCASE)
		return 0;
	if (area->found)
		return -EBADMSG;
	take_area(area, e);
	return 0;
}

static int scan_directory_cluster(struct exfat *x, uint32_t cluster, void *arg)
{
	uint8_t *buf = arg;

	for (uint64_t at = 0; at < x->cluster_size; at += STEP) {
		size_t len = (size_t)MIN(x->cluster_size - at, (uint64_t)STEP);
		int r = medium_read_all(x->m, buf, len, cluster_offset(x, cluster) + at, NULL);

		for (size_t i = 0; i < len && r == 0; i += 32)
			r = take_entry(x, buf + i);
		if (r)
			return r;
	}
	return 0;
}

static uint64_t root_clusters_max(const struct exfat *x)
{
	return MAX(DIRECTORY_MAX / x->cluster_size, (uint64_t)1);
}

static int find_areas(struct exfat *x)
{
	_free_ uint8_t *buf = malloc(STEP);

	if (!buf)
		return -ENOMEM;
	return walk_chain(x, x->root_cluster, root_clusters_max(x), scan_directory_cluster, buf);
}

/* A bitmap while it is read, a cluster of it at a time. */
struct bitmap_walk {
	struct fs_map *map;
	uint8_t *buf;
	uint64_t at, size; /* bytes of it: read, needed */
	bool unreadable;
};

/* The next bytes of the bitmap; bits beyond the last cluster are not looked at. */
static int add_bitmap_part(struct exfat *x, struct bitmap_walk *w, size_t len)
{
	uint64_t first = w->at * 8, n = MIN(8ULL * len, x->n_clusters - first);

	return map_add_bits(w->map, w->buf, 0, n, cluster_offset(x, FIRST_CLUSTER + first),
	                    x->cluster_size);
}

static int add_bitmap_cluster(struct exfat *x, uint32_t cluster, void *arg)
{
	struct bitmap_walk *w = arg;
	uint64_t from = w->at, end = MIN(from + x->cluster_size, w->size);

	while (w->at < end) {
		size_t len = (size_t)MIN(end - w->at, (uint64_t)STEP);
		int r = medium_read_all(x->m, w->buf, len,
		                        cluster_offset(x, cluster) + w->at - from, NULL);

		if (is_fatal(r))
			return r;
		if (r < 0) {
			w->unreadable = true;
			memset(w->buf, 0xff, len);
		}
		r = add_bitmap_part(x, w, len);
		if (r < 0)
			return r;
		w->at += len;
	}
	return 0;
}

/* The clusters that an area's chain may have. */
static uint64_t clusters_of(const struct exfat *x, const struct area *area)
{
	return area->size / x->cluster_size + (area->size % x->cluster_size != 0);
}

static int add_bitmap(struct exfat *x, const struct area *area, struct bitmap_walk *w)
{
	int r;

	w->at = 0;
	if (!area->found || area->size < w->size || area->size - w->size > x->cluster_size)
		return -EBADMSG;
	r = walk_chain(x, area->first_cluster, clusters_of(x, area), add_bitmap_cluster, w);
	return r < 0 ? r : w->at < w->size ? -EBADMSG : 0;
}

/* All bitmaps that there are; where they differ, what one of them calls used is used. */
static int add_bitmaps(struct exfat *x, struct fs_map *map, bool *ret_unreadable)
{
	_free_ uint8_t *buf = malloc(STEP);
	struct bitmap_walk w = { .map = map, .buf = buf, .size = (x->n_clusters + 7ULL) / 8 };
	int r = 0;

	if (!buf)
		return -ENOMEM;
	for (unsigned i = 0; i < 2 && r == 0; i++)
		if (i < x->n_fats || x->bitmaps[i].found)
			r = add_bitmap(x, &x->bitmaps[i], &w);
	*ret_unreadable = w.unreadable;
	return r;
}

static int check_cluster(struct exfat *x, uint32_t cluster, void *arg)
{
	return map_covers(arg, cluster_offset(x, cluster), x->cluster_size) ? 0 : -EBADMSG;
}

/* Return: 0; -EBADMSG: the bitmap calls something free that is in use for certain. */
static int check_areas(struct exfat *x, struct fs_map *map)
{
	const struct area *areas[] = { &x->upcase, &x->bitmaps[0], &x->bitmaps[1] };
	int r = walk_chain(x, x->root_cluster, root_clusters_max(x), check_cluster, map);

	if (!x->upcase.found || x->upcase.size > UPCASE_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < ARRAY_LEN(areas) && r == 0; i++)
		if (areas[i]->found)
			r = walk_chain(x, areas[i]->first_cluster, clusters_of(x, areas[i]),
			               check_cluster, map);
	return r;
}

static int give_up(struct fs_facts *facts, int r, const char *what)
{
	return is_fatal(r) ? r
	                   : map_give_up(facts, FS_DAMAGED,
	                                 "%s: all of it counts as used; check it with fsck.exfat "
	                                 "or chkdsk",
	                                 what);
}

static int add_all(struct exfat *x, struct fs_map *map, struct fs_facts *facts)
{
	uint64_t end = cluster_offset(x, x->n_clusters + (uint64_t)FIRST_CLUSTER);
	bool unreadable;
	int r = add_bitmaps(x, map, &unreadable);

	if (r < 0)
		return give_up(facts, r,
		               "the allocation bitmap of this exFAT file system cannot "
		               "be followed");
	r = fs_map_finish(map); /* two bitmaps: runs are out of order until now */
	if (r == 0)
		r = check_areas(x, map);
	if (r < 0)
		return give_up(facts, r,
		               "the allocation bitmap of this exFAT file system calls its "
		               "own tables free, or they are damaged");
	if (unreadable &&
	    map_note(facts, "parts of the allocation bitmap cannot be read: what they speak of "
	                    "counts as used") < 0)
		return -ENOMEM;
	r = fs_map_add(map, 0, x->heap_offset);
	return r < 0 ? r : fs_map_add(map, end, map->size - end);
}

static int take_names(const struct exfat *x, struct fs_facts *facts)
{
	facts->uuid = text_format("%04X-%04X", x->serial >> 16, x->serial & 0xffff);
	if (x->label_len)
		facts->label = text_utf16le(x->label, x->label_len);
	return facts->uuid && (facts->label || !x->label_len) ? 0 : -ENOMEM;
}

static int read_volume(struct exfat *x, struct fs_map *map, struct fs_facts *facts)
{
	int r;

	if (x->size > x->m->size)
		return give_up(facts, 0, "the exFAT file system is larger than its partition");
	r = find_areas(x);
	if (r < 0)
		return give_up(facts, r,
		               "the root directory of this exFAT file system cannot be "
		               "followed");
	if (take_names(x, facts) < 0)
		return -ENOMEM;
	if (x->flags & FLAG_DIRTY)
		return map_give_up(facts, FS_DIRTY,
		                   "this exFAT file system was not unmounted: all of it counts as "
		                   "used; check it with fsck.exfat or chkdsk for a smaller image");
	if (x->backup_differs &&
	    map_note(facts, "the backup boot region of this exFAT file system is damaged") < 0)
		return -ENOMEM;
	return add_all(x, map, facts);
}

static int exfat_read(struct medium *m, struct fs_map *map, struct fs_facts *facts,
                      struct ism_error *err)
{
	struct exfat x = { .m = m };
	int r = open_volume(&x, err);

	if (r < 0)
		return r;
	facts->type = "exfat";
	facts->size = MIN(x.size, m->size);
	facts->block_size = x.cluster_size;
	r = read_volume(&x, map, facts);
	free(x.window);
	if (r == -ECANCELED)
		return ism_error_canceled(err);
	return r < 0 ? ism_error_oom(err) : 0;
}

static const char *const exfat_types[] = { "exfat", NULL };
const struct fs_driver fs_driver_exfat = { .types = exfat_types, .read = exfat_read };
