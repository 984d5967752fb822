/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What kind of bootable medium an image is, on images made by xorriso, genisoimage, mtools and
 * sfdisk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "boot/media.h"

static char folder[] = "/tmp/isomorph-media-XXXXXX";

/* Run shell commands in the folder of this test; false if they fail. */
static bool run(const char *commands)
{
	_free_ char *all = text_format("exec >/dev/null 2>&1; PATH=$PATH:/usr/sbin:/sbin; set -e; "
	                               "cd %s; %s",
	                               folder, commands);

	return system(all) == 0;
}

static bool have(const char *tool)
{
	_free_ char *command = text_format("command -v %s", tool);

	return run(command);
}

/* A folder of files for an ISO: a BIOS boot image, an ESP with a loader, and what Windows has. */
static int make_parts(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	if (!have("xorriso") || !have("mformat") || !have("genisoimage") || !have("sfdisk"))
		return 0;
	return run("mkdir -p iso/boot win/sources win/boot win/efi/boot;"
	           "head -c 2048 /dev/urandom > iso/boot/bios.img;"
	           "truncate -s 1440K esp.img; mformat -i esp.img -f 1440 ::;"
	           "mmd -i esp.img ::/EFI ::/EFI/BOOT; echo MZ > loader;"
	           "mcopy -i esp.img loader ::/EFI/BOOT/BOOTX64.EFI;"
	           "mcopy -i esp.img loader ::/EFI/BOOT/bootaa64.efi;"
	           "cp esp.img iso/boot/efi.img;"
	           "{ head -c 400 /dev/urandom; printf GRUB; head -c 36 /dev/zero; } > mbr.img;"
	           "echo WIM > win/sources/boot.wim; echo x > win/sources/install.wim;"
	           "echo x > win/bootmgr; cp loader win/efi/boot/bootx64.efi;"
	           "head -c 4096 /dev/urandom > win/boot/etfsboot.com")
	               ? 0
	               : -1;
}

static int remove_parts(void **state)
{
	_free_ char *command = text_format("rm -rf %s", folder);

	(void)state;
	return system(command) == 0 ? 0 : -1;
}

static bool ready(void)
{
	return run("test -e win/bootmgr");
}

static void look(const char *name, bool head_only, struct media_facts *ret)
{
	static uint8_t head[MIB];
	_free_ char *path = text_format("%s/%s", folder, name);
	struct ism_open_options options = { .raw = true };
	_medium_ struct medium *m = NULL;
	size_t n;

	assert_int_equal(carrier_open(name[0] == '/' ? name : path, &options, &m, NULL), 0);
	assert_int_equal(medium_peek(m, head, sizeof(head), &n, NULL), 0);
	assert_int_equal(media_detect((struct span){ head, n },
	                              head_only ? ISM_SIZE_UNKNOWN : m->size, head_only ? NULL : m,
	                              ret, NULL),
	                 0);
}

static void expect_advice(const struct media_facts *f, enum media_as as, int code,
                          const char *warning)
{
	struct media_advice a;
	struct ism_error err = { 0 };

	assert_int_equal(media_advice(f, &a, NULL), 0);
	assert_int_equal(a.as, as);
	if (a.n_warnings != (warning ? 1 : 0))
		fail_msg("%zu warnings: %s; expected: %s", a.n_warnings, a.why, warning);
	if (warning && !strstr(a.warnings[0], warning))
		fail_msg("'%s' is not in '%s'", warning, a.warnings[0]);
	media_advice_clear(&a);
	assert_int_equal(media_check_raw(f, "it", &err), code);
	assert_int_equal(err.code, code);
	if (code) {
		assert_int_equal(err.status, ISM_FAILED);
		assert_non_null(strstr(err.hint, "--as raw"));
	}
	ism_error_clear(&err);
}

static void check(const char *name, enum media_as as, int code, const char *warning,
                  void (*more)(const struct media_facts *f))
{
	struct media_facts f;

	look(name, false, &f);
	expect_advice(&f, as, code, warning);
	if (more)
		more(&f);
	media_facts_clear(&f);
}

static void is_cd_only(const struct media_facts *f)
{
	assert_int_equal(f->kind, MEDIA_ISO);
	assert_false(f->hybrid);
	assert_string_equal(f->iso.label, "CD_ONLY");
	assert_int_equal(f->iso.n_boot, 2);
	assert_true(f->iso.catalog_known);
	assert_int_equal(f->iso.boot[0].platform, ELTORITO_BIOS);
	assert_int_equal(f->iso.boot[1].platform, ELTORITO_EFI);
	assert_int_equal(f->disc.bios, MEDIA_YES);
	assert_int_equal(f->disc.uefi_x64, MEDIA_YES);
	assert_int_equal(f->disc.uefi_aa64, MEDIA_YES);
	assert_int_equal(f->disc.uefi_ia32, MEDIA_NO);
	assert_int_equal(f->disk.bios, MEDIA_NO);
	assert_int_equal(f->disk.uefi_x64, MEDIA_NO);
	assert_int_equal(f->windows, MEDIA_NO);
	assert_int_equal(f->missing, 0);
}

static void test_cd_only(void **state)
{
	struct media_facts f;

	(void)state;
	if (!ready())
		skip();
	assert_true(run("xorriso -as mkisofs -V CD_ONLY -o cd.iso -b boot/bios.img -no-emul-boot "
	                "-boot-load-size 4 -eltorito-alt-boot -e boot/efi.img -no-emul-boot iso"));
	check("cd.iso", MEDIA_AS_FILES, -EOPNOTSUPP, NULL, is_cd_only);
	/* The same through a pipe: only the first MiB. */
	look("cd.iso", true, &f);
	expect_advice(&f, MEDIA_AS_FILES, -EOPNOTSUPP, NULL);
	media_facts_clear(&f);
}

static void test_cut_off(void **state)
{
	(void)state;
	if (!ready())
		skip();
	assert_true(run("head -c 3M /dev/urandom > iso/big;"
	                "xorriso -as mkisofs -V DATA -o data.iso iso; rm iso/big;"
	                "cp data.iso cut.iso; truncate -s 1M cut.iso;"
	                "cp data.iso unpadded.iso; truncate -s -2K unpadded.iso"));
	check("data.iso", MEDIA_AS_RAW, 0, "no boot entry", NULL);
	{
		struct media_facts f;
		struct ism_error err = { 0 };

		look("cut.iso", false, &f);
		assert_int_equal(f.size, MIB);
		assert_int_equal(f.missing, f.iso.volume_size - MIB);
		assert_int_equal(media_check_raw(&f, "cut.iso", &err), -EBADMSG);
		assert_non_null(strstr(err.message, "has only 1048576"));
		ism_error_clear(&err);
		media_facts_clear(&f);
		look("cut.iso", true, &f);
		assert_int_equal(f.missing, 0);
		assert_int_equal(media_check_raw(&f, "-", NULL), 0);
		assert_int_equal(media_check_size(f.iso.volume_size, MIB, "-", NULL), -EBADMSG);
		assert_int_equal(media_check_size(f.iso.volume_size, f.iso.volume_size, "-", NULL),
		                 0);
		media_facts_clear(&f);
		look("unpadded.iso", false, &f);
		assert_int_equal(f.missing, 2048);
		assert_int_equal(media_check_raw(&f, "unpadded.iso", NULL), 0);
		media_facts_clear(&f);
	}
}

static void is_hybrid(const struct media_facts *f)
{
	assert_int_equal(f->kind, MEDIA_ISO);
	assert_true(f->hybrid);
	assert_int_equal(f->disk.bios, MEDIA_YES);
	assert_int_equal(f->disk.uefi_x64, MEDIA_YES);
	assert_int_equal(f->disk.uefi_aa64, MEDIA_YES);
	assert_int_equal(f->disk.uefi_ia32, MEDIA_NO);
	assert_int_equal(f->disc.bios, MEDIA_YES);
}

static void is_uefi_only(const struct media_facts *f)
{
	assert_true(f->hybrid);
	assert_int_equal(f->disk.bios, MEDIA_NO);
	assert_int_equal(f->disk.uefi_x64, MEDIA_YES);
}

#define BOTH \
	"-b boot/bios.img -no-emul-boot -boot-load-size 4 -eltorito-alt-boot " \
	"-e --interval:appended_partition_2:all:: -no-emul-boot -append_partition 2 0xef esp.img "

static void test_hybrid(void **state)
{
	struct media_facts f;

	(void)state;
	if (!ready())
		skip();
	assert_true(run("xorriso -as mkisofs -V HYBRID -o hybrid.iso --grub2-mbr mbr.img "
	                "-partition_offset 16 " BOTH " iso"));
	check("hybrid.iso", MEDIA_AS_RAW, 0, NULL, is_hybrid);
	assert_true(run("xorriso -as mkisofs -V HYBRID -o gpt.iso --grub2-mbr mbr.img "
	                "-appended_part_as_gpt " BOTH " iso"));
	check("gpt.iso", MEDIA_AS_RAW, 0, NULL, is_hybrid);
	assert_true(run("xorriso -as mkisofs -V UEFI -o uefi.iso " BOTH " iso"));
	check("uefi.iso", MEDIA_AS_RAW, 0, "a BIOS boots this ISO from a disc, but not",
	      is_uefi_only);
	/* Only the head: the ESP lies behind it, so nothing is said about UEFI. */
	assert_true(run("head -c 3M /dev/urandom > iso/big; xorriso -as mkisofs -V HYBRID "
	                "-o long.iso --grub2-mbr mbr.img " BOTH " iso; rm iso/big"));
	look("long.iso", true, &f);
	expect_advice(&f, MEDIA_AS_RAW, 0, NULL);
	assert_true(f.hybrid);
	assert_int_equal(f.disk.bios, MEDIA_YES);
	assert_int_equal(f.disk.uefi_x64, MEDIA_NOT_KNOWN);
	media_facts_clear(&f);
}

static void is_windows(const struct media_facts *f)
{
	assert_int_equal(f->kind, MEDIA_ISO);
	assert_int_equal(f->windows, MEDIA_YES);
	assert_string_equal(f->windows_image, "sources/boot.wim");
}

static void test_windows(void **state)
{
	(void)state;
	if (!ready())
		skip();
	/* UDF with an ISO 9660 tree that lacks the files, as Microsoft's discs. */
	assert_true(run("genisoimage -V WIN -udf -o win.iso -b boot/etfsboot.com -no-emul-boot "
	                "-allow-limited-size -hide efi -hide sources -hide bootmgr -joliet win"));
	check("win.iso", MEDIA_AS_WINDOWS, -EOPNOTSUPP, NULL, is_windows);
	/* And without any UDF. */
	assert_true(run("xorriso -as mkisofs -V WIN -iso-level 3 -o wiso.iso -b boot/etfsboot.com "
	                "-no-emul-boot win"));
	check("wiso.iso", MEDIA_AS_WINDOWS, -EOPNOTSUPP, NULL, is_windows);
	/* A wim file alone makes no Windows disc. */
	assert_true(run("rm -r win/bootmgr win/efi; genisoimage -V DATA -udf -o nowin.iso win; "
	                "touch win/bootmgr"));
	check("nowin.iso", MEDIA_AS_RAW, 0, "no boot entry", NULL);
}

static void is_bootable_disk(const struct media_facts *f)
{
	assert_int_equal(f->kind, MEDIA_DISK);
	assert_int_equal(f->disk.uefi_x64, MEDIA_YES);
	assert_int_equal(f->disk.bios, MEDIA_NO);
}

static void is_blank_image(const struct media_facts *f)
{
	assert_int_equal(f->kind, MEDIA_BLANK);
}

static void is_fs(const struct media_facts *f)
{
	assert_int_equal(f->kind, MEDIA_FILE_SYSTEM);
	assert_int_equal(f->disk.uefi_x64, MEDIA_YES);
}

static void is_random(const struct media_facts *f)
{
	assert_int_equal(f->kind, MEDIA_UNKNOWN);
	assert_int_equal(f->disk.bios, MEDIA_NO);
}

static void test_disks(void **state)
{
	(void)state;
	if (!ready())
		skip();
	assert_true(run("truncate -s 5M disk.img; printf 'label: gpt\\n,1440K,U\\n' | "
	                "sfdisk --no-reread disk.img; "
	                "dd if=esp.img of=disk.img bs=1M seek=1 conv=notrunc;"
	                "cp disk.img short.img; truncate -s 1500K short.img;"
	                "truncate -s 1M blank.img; head -c 1M /dev/urandom > random.img; "
	                "printf xx | dd of=random.img bs=1 seek=510 conv=notrunc"));
	check("disk.img", MEDIA_AS_RAW, 0, NULL, is_bootable_disk);
	check("short.img", MEDIA_AS_RAW, 0, "it may be cut off", NULL);
	check("blank.img", MEDIA_AS_RAW, 0, "nothing but zeros", is_blank_image);
	check("random.img", MEDIA_AS_RAW, 0, NULL, is_random);
	check("esp.img", MEDIA_AS_RAW, 0, NULL, is_fs);
}

/* Images of Debian packages, where the lab has fetched them. */
static void test_real_isos(void **state)
{
	static const char *const names[] = { "grub-rescue-cdrom.iso", "ipxe.iso",
		                             "memtest86+x64.iso" };
	const char *root = getenv("ISOMORPH_SOURCE_ROOT");
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		_free_ char *path =
			text_format("%s/build/lab/images/%s", root ? root : ".", names[i]);
		struct media_facts f;

		if (access(path, R_OK) < 0)
			continue;
		look(path, false, &f);
		assert_int_equal(f.kind, MEDIA_ISO);
		assert_true(f.hybrid);
		assert_int_equal(f.disk.bios, MEDIA_YES);
		assert_int_equal(media_check_raw(&f, names[i], NULL), 0);
		media_facts_clear(&f);
		n++;
	}
	if (!n) {
		print_message("no images in build/lab/images\n");
		skip();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cd_only), cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_hybrid),  cmocka_unit_test(test_windows),
		cmocka_unit_test(test_disks),   cmocka_unit_test(test_real_isos),
	};

	return cmocka_run_group_tests(tests, make_parts, remove_parts);
}
