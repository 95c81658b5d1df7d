// Stand-ins for the ECP5 cells of an RGMII port, as FPGA-TN-02035 draws them:
// both halves of a clock cycle in parallel on the side of the fabric, one after the other on the pin.
`timescale 1ps / 1ps

module ODDRX1F (input SCLK, input RST, input D0, input D1, output Q);
    reg first, second, high, low, low_late;
    always @(posedge SCLK) begin
        first <= D0;
        second <= D1;
        high <= first;
        low <= second;
    end
    always @(negedge SCLK) low_late <= low;
    assign Q = SCLK ? high : low_late;
endmodule

module IDDRX1F (input SCLK, input RST, input D, output reg Q0, output reg Q1);
    reg rising, falling;
    always @(posedge SCLK) begin
        rising <= D;
        Q0 <= rising;
        Q1 <= falling;
    end
    always @(negedge SCLK) falling <= D;
endmodule

module DELAYG #(parameter DEL_MODE = "USER_DEFINED", parameter DEL_VALUE = 0) (
    input A, output reg Z
);
    always @(A) Z <= #(25 * DEL_VALUE) A;
endmodule
